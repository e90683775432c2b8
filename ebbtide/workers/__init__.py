"""`ebbtide up --workers N`: several processes that take requests on one port, and one over them.

The one over them holds the cluster, the autoscaler and the admin port; each worker a hall and a
front. They talk over a channel (`fleet.channel`) that the worker inherits.
"""
