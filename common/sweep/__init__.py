"""Many runs of a script, on this machine or a cluster, and what they say together."""
