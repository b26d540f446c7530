"""What every room stands on: files written whole, fan-out, receipts, errors, the words that tables share."""
