"""The entry point of `gan`: see `gan_cli.shell`."""

import sys

from gan_cli.shell.main import main as main

if __name__ == "__main__":
    sys.exit(main())
