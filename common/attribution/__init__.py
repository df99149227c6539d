"""Which pixels a decision rests on: one module a method over one engine, and tests of the maps."""
