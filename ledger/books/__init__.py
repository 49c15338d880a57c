"""The books: what movements of points come to for accountants. Pure functions over sums by vintage and period."""
