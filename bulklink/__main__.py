"""`python -m bulklink` is `bulklink`."""

import sys

from bulklink.cli import main

sys.exit(main())
