from skyreel.testing import check_plugin

test_kilonova = check_plugin("kilonova")
