"""What every request passes before and after it is answered: socket, queue, token, body, response."""
