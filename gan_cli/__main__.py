"""python -m gan_cli"""

import sys

from gan_cli.cli import main

if __name__ == "__main__":
    sys.exit(main())
