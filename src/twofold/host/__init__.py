"""The machine Twofold runs on: its arithmetic, its pace, its child processes and its memory."""
