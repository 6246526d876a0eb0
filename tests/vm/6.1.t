# SPDX-License-Identifier: GPL-2.0-or-later
# The guest tests on Linux 6.1, in one boot; both kernels together stay below what
# CI allows.
LIMIT=2500 exec "$(dirname "$0")/../../vmtests/run" 6.1
