"""The serving contract, generated from proto/pullarm/v1; never edited by hand."""
