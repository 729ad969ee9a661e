"""The qdhil command, one file per verb."""
