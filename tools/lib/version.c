// SPDX-License-Identifier: LGPL-2.1-or-later
/* The version of the library that runs. */
#include "mfd.h"

#define TEXT(number)		#number
#define DOTTED(a, b, c)		TEXT(a) "." TEXT(b) "." TEXT(c)

const char *mfd_version(void)
{
	return DOTTED(MFD_VERSION_MAJOR, MFD_VERSION_MINOR, MFD_VERSION_PATCH);
}
