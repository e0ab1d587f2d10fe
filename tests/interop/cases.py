#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""All cases with stock destinations; run in the VM by tests/interop/run."""

import sys

import killed
import matrix

if __name__ == "__main__":
    killed.register()
    sys.exit(matrix.main())
