"""What can be wrong with data that a user hands in."""

from pullarm.domain.errors import PullarmError


class DatasetError(PullarmError):
    """A data set is missing, cut off or malformed; the message names the file and the fix."""

    code = "invalid_input"
