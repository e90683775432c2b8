"""How the slots of replicas are shared out among the processes that send to them.

Workers of one `ebbtide up` and gateways of a cluster share alike (`activator.core.shares`): one
process decides from what all of them say, and each goes by what it was told last.
"""
