"""`gan report`: what runs left behind, as one HTML page. It reads files only, and believes little of them."""
