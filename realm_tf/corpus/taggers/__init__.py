"""The taggers, one a file; `realm_tf.corpus.spans` has their interface and makes them."""
