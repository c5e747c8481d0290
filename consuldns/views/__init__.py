"""What is known of Consul: immutable views, replaced as a whole when Consul changes.

A view is one piece of Consul's state that can be watched on its own. `keys` names the views,
`model` says what each holds, `store` holds those that a process knows now, and `updates` are the
messages by which the control process keeps the stores of the workers right. Nothing here does I/O
and nothing here knows DNS messages.
"""
