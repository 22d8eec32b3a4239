"""A call in progress: audio and turns come in over a WebSocket, and scores go out as the call goes on."""
