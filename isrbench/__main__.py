"""``python -m isrbench`` is ``isrbench``; ``accelerate launch -m isrbench train ...`` needs it."""

from isrbench.harness.cli.main import main

main()
