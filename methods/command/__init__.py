"""Any external program."""
