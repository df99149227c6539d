"""What two scripts share: one topic a module."""

import os

# TensorFlow reads both when it is first imported. oneDNN is off by default on processors that it
# does not know well, and training there is a third slower without it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
