"""Contenders: convkit and the libraries it is raced against, each imported in its own process."""
