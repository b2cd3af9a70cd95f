"""The vendors' clients: from a query and what is covered already to an answer, inside the budget of the look.

`http` is the edge all share, `vendortime` what time it is at a vendor, `provider` says what a vendor's module offers,
`registry` lists the modules. A further vendor is its module, one line in the registry and one stanza in
`config.example.yaml`; nothing else names a vendor.
Vendors' own words (App ID, session, cname) stop at their module. The emulator is never imported here, nor this there:
each is written from the vendor's documentation alone, so that a misreading in one is caught by the other.
"""
