"""Calibration: do intervals cover what they should, on data whose truth is known?"""
