"""The accountants' workspace: server-rendered pages whose state is their address, and one small script.

`app.make_app` builds the ASGI application, `server` serves it. Pages work without the script; it only saves loading
what stays the same and adds keyboard control.
"""
