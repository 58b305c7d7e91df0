"""The one exception whose message is meant for the person at the keyboard."""


class UserError(Exception):
    """Bad input or a missing resource: one line that says what is wrong and what to do.

    The command line prints the message without a traceback and exits with status 2.
    """
