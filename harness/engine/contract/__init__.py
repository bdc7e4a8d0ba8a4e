"""What plugins have to hold, as checks that anyone can run: by ``isrbench check``, and by the tests of any package."""
