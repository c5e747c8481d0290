"""What RFCs say about messages, over the network: one row for each rule."""
