"""Runs the command line, both as `python3 -m plainclient` and as `python3 PATH/plainclient`."""

import os
import sys

if not __package__:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from plainclient.cli import main  # noqa: E402

sys.exit(main())
