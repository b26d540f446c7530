"""``python -m cbec_bayes`` is the program ``cbec-bayes``."""

from cbec_bayes.commands.program import main

if __name__ == "__main__":
    main()
