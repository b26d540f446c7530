"""One module per job; every command is one of them."""
