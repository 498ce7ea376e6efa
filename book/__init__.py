"""The course as a web site with sound: `make book`."""
