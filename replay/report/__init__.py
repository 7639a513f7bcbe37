"""One self-contained HTML page of what was run: text, tables and SVG, and nothing from elsewhere."""
