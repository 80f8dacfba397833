"""A crowd in the chat: how long each client of each front end waits for what others say.

``make crowd`` runs 500 clients with 100 messages a second; see `chat_crowd.run`.
"""
