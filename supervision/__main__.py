"""`python -m supervision` is `propdesk`."""

from __future__ import annotations

import sys

from supervision.main import main

sys.exit(main())
