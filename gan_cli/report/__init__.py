"""`gan report`: what runs left behind, as one HTML page. Reads files only; whoever wrote them, little of them is believed."""
