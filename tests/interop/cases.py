#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""All cases with stock destinations; run in the VM by tests/interop/run."""

import sys

import encrypted
import killed
import matrix
import relayed

if __name__ == "__main__":
    encrypted.register()
    killed.register()
    relayed.register()
    sys.exit(matrix.main())
