"""Workers: consumers fold the event stream into the ledger and publish it; arq runs what goes by the clock."""
