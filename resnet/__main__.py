"""python -m resnet COMMAND."""

from resnet.commands.cli import main

if __name__ == "__main__":
    main()
