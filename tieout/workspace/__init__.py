"""The accountants' workspace: pages made on the server, each state an address, one small script of ours beside them.

`app.make_app` makes the web application, `server` serves it. A page works without the script; the script only saves
loading what stays the same, and adds the keyboard.
"""
