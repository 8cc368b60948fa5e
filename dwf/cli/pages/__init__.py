"""The screens: data in, lines or JSON out. Pure: nothing in here prints, reads the disk or looks at the clock."""
