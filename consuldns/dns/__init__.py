"""The meaning of names: pure, synchronous, without sockets, clocks or bytes of messages.

    Question --grammar--> Lookup --resolver, reading views--> Answer

`question` is what is asked, `grammar` says what a name means, `resolver` answers it from the views,
`answer` is what was found, `policy` the settings that matter for it.
"""
