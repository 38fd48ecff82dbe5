"""All that touches the world, translated to and from the types of ``trading``."""
