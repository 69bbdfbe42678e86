"""One gin file per published experiment.

PseudoSeg's are here, those of the other methods in the folder of the method's name;
`base/` holds what they share.
"""
