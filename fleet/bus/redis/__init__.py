"""The bus between processes of several machines: readings and hints, over one Redis.

Every gateway, and the autoscaler that leads, keeps a *log* there: a stream whose first message says
all that there is to say, and every later one what is new. Who reads it goes on where he was, and
begins anew with the first message when he has missed one.
"""
