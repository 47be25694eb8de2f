"""Discord: gateway, slash commands and messages. `import discord` in here means the library."""
