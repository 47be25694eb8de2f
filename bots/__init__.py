"""Where people come in: the command line and the chat platforms. No torch, ever."""
