"""One plugin per super-resolution method; each is a package with a torch-free `plugin` module."""
