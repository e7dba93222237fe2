package eval

// Scaffold; the owner of this package replaces it.
