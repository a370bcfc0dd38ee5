"""The bundle: one folder that holds everything a version needs to answer."""
